"""The zoo: one family a file. `ar_zoo.core.registry` finds them by themselves."""
