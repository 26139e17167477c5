# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cgi2wsgi_global_optspecs
    string join \n worker-file-name V/version chdir= pythonpath= python= venv= mount= handler= nph timeout= max-body= debug timings log= log-format= log-size= record= record-all record-max= record-secrets warm warm-idle= warm-spare= warm-max= warm-request= warm-ignore= warm-memory= h/help
end

function __fish_cgi2wsgi_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cgi2wsgi_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cgi2wsgi_using_subcommand
    set -l cmd (__fish_cgi2wsgi_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l worker-file-name -d 'Print the name of the worker\'s file that belongs to this build'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -s V -l version -d 'Print the version, its build, where its worker is, and the Python that it would use'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -a "request" -d 'Build a request from flags like curl\'s, run it and show the response'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -a "check" -d 'Find out what is wrong with a site: one line for each finding, with what to do about it'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -a "init" -d 'Write the configuration that runs an application under a server, with the real paths of this machine'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -a "profile" -d 'Show where the time of a cold request goes: the start of Python, each import, the call'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_needs_command" -a "warm" -d 'Show the zygotes of --warm, stop them, or read their log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s X -l request -d 'The request method [default: GET, or POST with a body]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s d -l data -d 'Send DATA in the body; several are joined by &' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s F -l form -d 'Send a multipart form: NAME=VALUE, NAME=@FILE, NAME=@FILE;type=TYPE;filename=NAME' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l json -d 'Send JSON, and ask for it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s H -l header -d 'A header of the request, "Name: value"; "Name:" leaves it out' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s b -l cookie -d 'Cookies: "name=value; other=value"' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s u -l user -d 'Basic authorization' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s o -l output -d 'Write to FILE' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s w -l write-out -d 'Write FORMAT when the response is over: %{http_code}, %{content_type}, %{size_download}, %{time_total}, \\n, ...' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l save -d 'Write a record of the request and of its response to FILE, for --replay' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l replay -d 'Run the request of a record of --record or --save again, or those of all records in a directory' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s i -l include -d 'Show the head of the response too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s I -l head -d 'Request only the head (HEAD), and show it'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s f -l fail -d 'Fail when the status is 400 or more: no body, exit status 22'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s v -l verbose -d 'Show the request\'s variables and the head of the response on standard error'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s L -l location -d 'Follow redirects of the application to itself, 50 at most'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s s -l silent -d 'As for curl, and without effect: there is no progress to be silent about'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s S -l show-error -d 'As for curl, and without effect: errors are always shown'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s k -l insecure -d 'As for curl, and without effect: there is no connection, and no certificate to check'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l pdb -d 'Start the debugger (pdb) on the terminal where an uncaught exception was raised, or one that Flask or Django caught'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand request" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l as -d 'For root: look with the rights of USER, such as the web server\'s (www-data)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l host -d 'The name that visitors give the site, such as example.org' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l server -d 'Look at the configuration of a server too: apache, caddy, lighttpd or nginx, or its file' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l json -d 'Write the findings as JSON'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l name -d 'The name of the site, such as example.org or example.org:8080; --mount is its path there' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l as -d 'For root: USER\'s rights decide which Python can be used and what is refused; the server\'s usual user, such as www-data, if not given' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -s o -l output -d 'Write to FILE, which must not exist yet; htaccess writes index.cgi beside it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l svg -d 'Draw a flame graph into FILE, an image for a browser' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -s n -l lines -d 'Show the N modules that took longest [default: 15]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l runs -d 'Make N requests and show the one in the middle [default: 3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand profile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and not __fish_seen_subcommand_from status stop log" -s h -l help -d 'Print help'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and not __fish_seen_subcommand_from status stop log" -f -a "status" -d 'Show the zygotes of this user, or for root of all: how large, how busy, how often restarted and why'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and not __fish_seen_subcommand_from status stop log" -f -a "stop" -d 'Stop zygotes; requests that have begun are finished'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and not __fish_seen_subcommand_from status stop log" -f -a "log" -d 'Show the log of the zygotes of this user, or for root of all: each line behind its user\'s name'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l chdir -d 'Change to DIR before importing [default: the file\'s directory]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l pythonpath -d 'Import from DIR too; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l python -d 'The Python that runs the application: a path, or a name in PATH [default: that of the virtual environment, else python3]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l venv -d 'The virtual environment of the application [default: .venv or venv beside it]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l mount -d 'The public path of the application, or "auto" to recover it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l handler -d 'Serve Apache\'s Action: the application is the file of PATH_TRANSLATED' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l timeout -d 'Give up after SECONDS: answer 504, and log where the application hung' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l max-body -d 'Refuse a request body of more than BYTES (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l log -d 'Write a line for each request to FILE, with what was written to standard error below it' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l log-format -d 'With --log, write text for people, or json: one object a line [default: text]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l log-size -d 'With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l record -d 'Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l record-max -d 'With --record, keep the last N requests [default: 100]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-idle -d 'With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is waiting [default: 600]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-spare -d 'With --warm, fork N children ahead of need [default: 2]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-max -d 'With --warm, run N children at a time; more requests wait in line [default: 64]' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-request -d 'With --warm, request PATH once after the import, and throw the response away' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-ignore -d 'With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME; repeatable' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm-memory -d 'With --warm, let requests wait in line while all its processes together have more than BYTES of memory (K, M and G are understood)' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l all -d 'All zygotes of this user'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l all-users -d 'For root: all zygotes of all users'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l nph -d 'Write a whole HTTP response, for a non-parsed-header script'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l debug -d 'Show tracebacks in the browser too. Never on a public site'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l timings -d 'Report where the time goes: a Server-Timing header and a line in the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l record-all -d 'With --record, keep all requests'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l record-secrets -d 'With --record, keep cookies, passwords and the environment too'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -l warm -d 'Keep the imported application ready in a process that forks for each request'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from log" -s n -l lines -d 'Only the last N lines; for root, of each user' -r
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from log" -l path -d 'Print only the path of the log'
complete -c cgi2wsgi -n "__fish_cgi2wsgi_using_subcommand warm; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help'
