"""A Dash application with a callback."""

from dash import Dash, Input, Output, dcc, html

dash = Dash(__name__, requests_pathname_prefix="/dash/", routes_pathname_prefix="/")
dash.layout = html.Div([dcc.Input(id="number", value=2), html.Div(id="square")])


@dash.callback(Output("square", "children"), Input("number", "value"))
def square(number):
    return f"{number} squared is {int(number) ** 2}"


application = dash.server
