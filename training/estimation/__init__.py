"""Estimates from labels that routing has biased: by strata of known size, with what each label's draw was worth."""
