"""The machinery: runs a case on a device, records what happened, judges the record. Knows no model, data set, suite or report."""
