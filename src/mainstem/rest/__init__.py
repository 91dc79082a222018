"""How any operation of the Public API is served; knows no resource."""
