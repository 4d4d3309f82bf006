"""The semantic encoder: its training on captioned pictures, and topics by what pictures show."""
