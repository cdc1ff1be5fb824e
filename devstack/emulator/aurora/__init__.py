"""Aurora clusters on embedded Postgres servers: the server, the TLS front that clients meet, and the Data API's SQL."""
