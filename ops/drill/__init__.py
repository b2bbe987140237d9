"""`./lab drill`: stop, crash, a leg that fails and a lost key, rehearsed where no money is, with the times filed."""
