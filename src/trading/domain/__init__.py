"""The nouns of the lab: no I/O, nothing imported from the rest of the project."""
