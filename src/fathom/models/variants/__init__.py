"""Tables of variants, one file a family: a row is a card and the settings of the family's Spec."""
