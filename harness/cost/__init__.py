"""What a run costs: memory from the size of the weights, GPU hours from measured rates."""
