#!/home/me/bin/cgi2wsgi --mount auto --chdir /home/me/site --venv /home/me/site/venv

# The application is a module in /home/me/site, outside the public folder.
# `--mount auto` finds the public root that .htaccess hides.
from mysite.wsgi import application
