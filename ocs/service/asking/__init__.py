"""When the server speaks first: Re-Auth and Abort-Session, from rows to the wire and back."""
