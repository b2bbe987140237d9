"""What a person would rather look at than read: pictures of the lab's numbers, as PNG bytes."""
