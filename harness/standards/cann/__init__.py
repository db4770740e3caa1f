"""The CANN operator precision standard, clause by clause (docs/cann-standard.md maps them). Knows no case, device or file.

Source: the text "operator precision standard" of cann/opbase (`docs/zh/ops_precision_standard`), whose commercial part was
published and later taken out of that repository; paragraph numbers are those of its last edition. The rules are facts; the wording and
the code are ours. Where the text leaves something open, the function says which reading it takes.
"""
