"""Who Apple and Google are when they are not there: APNs and FCM at the wire, with faults and an inbox.

They judge by the providers' published rules and never share our payload builders, or a mistake would agree with itself.
"""
