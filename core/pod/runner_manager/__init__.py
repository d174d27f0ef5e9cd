"""The API of runner managers, which newer Esup-Pods call."""
