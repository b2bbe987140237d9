"""`./lab universe`: what the venue listed and demanded as of a day; without a venue, what is known of it by heart."""
