"""The methods of the API: functions of a caller and the parameters, and the table that names them."""
