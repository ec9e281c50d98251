"""The laws that every model of the zoo obeys, for its own tests and for those of families registered elsewhere."""
