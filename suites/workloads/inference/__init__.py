"""What a language model does when it serves: one file a workload. Knows no device, and nothing of servers (`suites/workloads/serving`)."""
