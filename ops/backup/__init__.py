"""`./lab backup` and `./lab restore`: an archive written and looked through, and put back or only tried."""
