"""One process of several that train together, and how they are started from a case. Knows no property that must hold of them."""
