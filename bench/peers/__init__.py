"""Room servers to measure roomd against, as careful engineers of other stacks would write them. See README.md."""
