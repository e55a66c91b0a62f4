;; Passes its texts as UTF-16.
;;@frame event
;;@lift
string-encoding=utf16
