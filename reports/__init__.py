"""What people read: Runs become one HTML file, JUnit XML and JSON. Knows no device, judges nothing, and never imports torch."""
