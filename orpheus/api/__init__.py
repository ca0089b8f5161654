"""The HTTP half: routes, the socket, health, metrics, and the client side of the writer process."""
