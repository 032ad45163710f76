"""People for whom apps ask: claims of apps, and those whom the site's own login vouches for."""
