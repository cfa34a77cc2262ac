"""From accumulated labels to a promoted challenger, or a reason why not."""
