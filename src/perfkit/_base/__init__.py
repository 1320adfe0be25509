"""What parts share and none owns. Private: nothing here is for users of perfkit."""
