"""The loops of the data plane: from the log to the queue of deliveries, and from the queue to the connectors."""
