"""What a receiver is told: its settings file, the answers and faults in it, where its captures go on to."""
