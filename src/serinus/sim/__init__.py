"""An inference engine that can be made to fail: real routes, real batching in time, no model.

`engine` batches in time and `faults` says what is wrong with it when: neither knows HTTP, and both
run in virtual time. `server` puts a port in front of them, in the dress of one engine (`vllm`,
`openai`). It computes nothing: tokens are words from a list.
"""
