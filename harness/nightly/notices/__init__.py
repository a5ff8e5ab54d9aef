"""What a night tells people: the next steps, the text of an issue, and a command that is called."""
