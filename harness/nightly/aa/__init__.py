"""One code against itself: false alarms, and the smallest slowdown that a night can see."""
