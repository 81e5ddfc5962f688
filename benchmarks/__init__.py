"""Programs that measure the hub. Each has a seed, a machine line and a stored result in benchmarks/results.

python -m benchmarks.kernel          # the machine: cost of a command, hard cases, memory
python -m benchmarks.gateway         # the whole hub over sockets: latency and rates
"""
