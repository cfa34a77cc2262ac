"""From a query to its recorded answer."""
