"""What a terminal shows of the committed example, as text and SVG files of docs/terminal."""
