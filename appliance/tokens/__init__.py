"""Keys on PKCS#11 tokens: smartcards, HSMs; the vendor's module runs in a process of its own."""
