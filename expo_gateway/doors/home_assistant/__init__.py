"""Home Assistant's doors: the push relay, local push, and the services that notify."""
