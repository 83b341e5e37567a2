"""The contracts of Vitalflow's records, as data, and the smallest code that reads them."""
