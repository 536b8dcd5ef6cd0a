"""Effects of variables: predictions, comparisons and slopes with errors by the delta method."""
