"""What kind of market it is: labels measured on past bars only, for records and reports; nothing trades on them."""
