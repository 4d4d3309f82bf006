"""Storage, manifests, launching on Ray and settings. Imports nothing else of ours."""
