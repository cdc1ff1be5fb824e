"""auth0-sync: a company's own live copy of its Auth0 tenant on AWS."""
