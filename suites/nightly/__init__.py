"""The nightly job: run, store, compare with the last good nights, report. Knows no case and no statistic."""
