"""What is promised: workloads, their cases, and the tests that run them.

Importing this package prepares the process environment first, because that must happen before torch is imported.
"""

from harness import environment

environment.prepare()
