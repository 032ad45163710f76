"""What the appliance's speed is measured with: see README.md in this directory."""
