"""The room of ``compare_conventions``: what one step of a discrete neuron means in every package."""
