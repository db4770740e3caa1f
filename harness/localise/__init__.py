"""Which operator is it? Both sides run a workload in step, operator by operator, on the reference's operands. Knows no suite."""
