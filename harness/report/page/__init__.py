"""What the page's script shows: questions and rollouts as data, packed to take little room."""
