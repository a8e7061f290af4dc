# The private stack as the integration tests see it: requests through nginx, tokens, the database, Redis, and the means to
# stop and kill each server. It must never touch a server outside its own folder.
#
#     use lib 't/lib';
#     use Battlepass::Stack;
#
#     my $s = Battlepass::Stack->shared;                       # the stack of t/run, or one of its own when run alone
#     my $s = Battlepass::Stack->new(config => "log_level = debug\n");  # a private one, for tests that break things
#     my $answer = $s->post("/v1/seasons/current/players/$player/xp-grants",
#         { $s->as(server => 'gs-1'), 'Idempotency-Key' => 'k-1' }, { amount => 50, source => 'match' });
#     is $answer->{status}, 201;
#     is $answer->{json}{xp_after}, 50;
package Battlepass::Stack;

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use DBI;
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/../../..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $shared;
my %owned; # stacks to stop at the end, by folder

# --- a stack's life ---

# One for all tests of a run: a test must not break it, nor count on being alone.
sub shared {
    my ($class) = @_;
    $shared //= $ENV{BATTLEPASS_ENV} ? $class->_attach($ENV{BATTLEPASS_ENV}) : $class->new;
    return $shared;
}

# config: text of a configuration file that is read after the stack's own. build: folder of the programs. binary_log: whether
# MariaDB keeps one. sql: folder of the schema, where it is not this source's.
sub new {
    my ($class, %options) = @_;
    my $scratch = tempdir('battlepass-test-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => "$scratch/stack", scratch => $scratch, owner => $$ }, $class;
    $owned{$scratch} = $self->{dir};
    my @extra;
    if (defined $options{config}) {
        _write("$scratch/extra.conf", $options{config});
        @extra = ('--config-extra', "$scratch/extra.conf");
    }
    @$self{qw(binary_log sql)} = @options{qw(binary_log sql)};
    $self->_stack('start', '--build', $options{build} // $build, @extra);
    return $self->_read_env;
}

sub _attach {
    my ($class, $file) = @_;
    return bless({ dir => dirname($file), owner => 0 }, $class)->_read_env;
}

sub _write {
    my ($file, $text) = @_;
    open my $out, '>', $file or croak "$file: $!";
    print {$out} $text;
    close $out or croak "$file: $!";
    return;
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<', $file or croak "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub _read_env {
    my ($self) = @_;
    my $text = _slurp("$self->{dir}/env");
    $self->{env} = { $text =~ /^export (\w+)='(.*)'$/mg };
    return $self;
}

sub _stack {
    my ($self, $command, @rest) = @_;
    if ($command eq 'start') {
        unshift @rest, '--binary-log' if $self->{binary_log};
        unshift @rest, '--sql', $self->{sql} if defined $self->{sql};
    }
    system("$source/t/stack", $command, '--dir', $self->{dir}, @rest) == 0
        or croak "t/stack $command @rest failed";
    return;
}

# A child that a test forked ends without stopping its parent's stacks.
my $main_pid = $$;
END {
    if ($$ == $main_pid) {
        my $status = $?; # the test's own; what is run here must not change it
        for my $scratch (keys %owned) {
            my $runs = -e "$owned{$scratch}/.battlepass-stack";
            my $stopped = !$runs || system("$source/t/stack", 'stop', '--dir', $owned{$scratch}) == 0;
            $stopped ? remove_tree($scratch) : warn "could not stop the stack in $owned{$scratch}\n";
            $status ||= 1 unless $stopped;
        }
        $? = $status;
    }
}

# Services: mariadb, redis, economy, battlepassd, nginx.
sub start {
    my ($self, @services) = @_;
    $self->_stack('start', @services);
    return $self->_read_env;
}

sub stop {
    my ($self, @services) = @_;
    croak 'stop what?' unless @services;
    $self->_stack('stop', @services);
    return;
}

sub kill {
    my ($self, @services) = @_;
    $self->_stack('kill', @services);
    return;
}

sub restart {
    my ($self, @services) = @_;
    $self->stop(@services);
    return $self->start(@services);
}

# Becomes another host of the first one's: its daemon goes to that one's database and Redis (or to the Redis at `redis`).
sub join_host {
    my ($self, $first, %options) = @_;
    my $redis = $options{redis} // $first->{env}{REDIS_SOCKET};
    _write("$self->{dir}/conf.d/95-servers.conf", "store {\n\tsocket = \"$first->{env}{MYSQL_SOCKET}\"\n}\ncache {\n\tsocket = \"$redis\"\n}\n");
    $self->stop(qw(battlepassd mariadb redis));
    $self->start(qw(battlepassd));
    return;
}

sub pid {
    my ($self, $service) = @_;
    return 0 + _slurp("$self->{dir}/pid/$service");
}

sub master_pid {
    my ($self) = @_;
    return $self->pid('battlepassd');
}

# The daemon reads its configuration again.
sub reload {
    my ($self) = @_;
    CORE::kill('HUP', $self->master_pid) or croak "HUP: $!";
    return;
}

# Processes of the daemon: pid => what its command line says.
sub workers {
    my ($self) = @_;
    my $master = $self->master_pid;
    my %workers;
    for my $dir (glob '/proc/[0-9]*') {
        open my $in, '<', "$dir/stat" or next;
        my $stat = <$in> // next;
        my ($pid, $parent) = $stat =~ /^(\d+) \(.*\) \S (\d+)/ or next;
        next if $parent != $master;
        open my $words, '<', "$dir/cmdline" or next;
        $workers{$pid} = join ' ', split /\0/, <$words> // '';
    }
    return \%workers;
}

# --- what it is made of ---

sub dir { return $_[0]{dir} }
sub env { return $_[0]{env} }
sub url { return $_[0]{env}{BATTLEPASS_URL} }
sub tls_url { return $_[0]{env}{BATTLEPASS_TLS_URL} }
sub metrics_url { return $_[0]{env}{BATTLEPASS_METRICS_URL} }
sub economy_url { return $_[0]{env}{BATTLEPASS_ECONOMY_URL} }
sub season { return $_[0]{env}{BATTLEPASS_SEASON} }
sub daemon_log { return _slurp("$_[0]{dir}/battlepassd.log") }
# The same from byte `from` on, for people: "time level role[pid]: message" a line.
sub log_text {
    my ($self, $from) = @_;
    my @lines = map { eval { $json->decode($_) } // { message => $_ } } split /\n/, substr $self->daemon_log, $from // 0;
    return join '', map { sprintf "%s %s %s[%s]: %s\n", (map { $_ // '' } @$_{qw(time level role pid)}), $_->{message} } @lines;
}
sub nginx_log { return _slurp("$_[0]{dir}/nginx/error.log") }

# battlepassctl with these arguments: (exit status, both outputs together).
sub ctl {
    my ($self, @arguments) = @_;
    my $pid = open(my $out, '-|') // croak "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec $self->{env}{BATTLEPASSCTL}, '-c', $self->{env}{BATTLEPASS_CONF}, @arguments or POSIX::_exit(127);
    }
    local $/ = undef;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

# A player that nobody else uses.
my $players = 0;
sub fresh_player {
    return sprintf 't-%d-%d-%d', $$, time * 1000, ++$players;
}

# --- tokens ---

# From the development key. claims: ttl in seconds (may be negative), or anything else that shall stand in the token
# (undef takes a claim away).
sub token {
    my ($self, $role, $subject, %claims) = @_;
    my $name = join ' ', $role, $subject, %claims ? $json->encode(\%claims) : ();
    return $self->{tokens}{$name} //= %claims
        ? $self->sign({ $self->_claims($role, $subject, %claims) })
        : $self->_mint($role, $subject);
}

sub _mint {
    my ($self, $role, $subject) = @_;
    my ($status, $text) = $self->ctl('token', '--key', $self->{env}{DEV_KEY}, '--role', $role, '--sub', $subject);
    croak "battlepassctl token: $text" if $status;
    chomp $text;
    return $text;
}

sub _claims {
    my ($self, $role, $subject, %claims) = @_;
    my $ttl = delete $claims{ttl} // 3600;
    my $now = int time;
    my %all = (iss => 'battlepass', aud => 'battlepass', role => $role, sub => $subject, iat => $now, exp => $now + $ttl, %claims);
    delete @all{ grep { !defined $all{$_} } keys %all };
    return %all;
}

sub dev_key {
    my ($self) = @_;
    return $json->decode(_slurp($self->{env}{DEV_KEY}));
}

# Any claims, signed; header members, key and algorithm may be given: forgeries are made with it, too.
sub sign {
    my ($self, $claims, %options) = @_;
    require Crypt::JWT;
    my $key = $options{key} // $self->dev_key;
    my $kid = ref $key eq 'HASH' ? $key->{kid} : undef;
    return Crypt::JWT::encode_jwt(
        payload => $json->encode($claims),
        alg => $options{alg} // 'ES256',
        key => $key,
        allow_none => 1,
        extra_headers => { defined $kid ? (kid => $kid) : (), %{ $options{header} // {} } },
    );
}

# For a headers hash: { $s->as(player => 'p-1') }.
sub as {
    my ($self, $role, $subject) = @_;
    return (Authorization => 'Bearer ' . $self->token($role, $subject // "$role-1"));
}

# --- requests ---

# The answer: status, headers (lower case; an array reference where one came more than once), body, and json where the body
# is JSON. A body that is a reference is sent as JSON.
sub request {
    my ($self, $method, $path, $headers, $body) = @_;
    return $self->request_at($self->url, $method, $path, $headers, $body);
}

sub request_at {
    my ($self, $base, $method, $path, $headers, $body) = @_;
    $self->{http}{$$} //= HTTP::Tiny->new(
        agent => 'battlepass-test', max_redirect => 0, timeout => 60, verify_SSL => 1,
        SSL_options => { SSL_ca_file => $self->{env}{BATTLEPASS_CA} },
    );
    my %headers = %{ $headers // {} };
    if (defined $body) {
        $body = $json->encode($body) if ref $body;
        $headers{'Content-Type'} = 'application/json' unless grep { lc eq 'content-type' } keys %headers;
    }
    my $answer = $self->{http}{$$}->request($method, $base . $path, { headers => \%headers, defined $body ? (content => $body) : () });
    croak "$method $path: $answer->{content}" if $answer->{status} == 599;
    my %result = (status => $answer->{status}, headers => $answer->{headers}, body => $answer->{content});
    if (($answer->{headers}{'content-type'} // '') =~ m{^application/(?:problem\+)?json}) {
        $result{json} = eval { $json->decode($answer->{content}) };
    }
    return \%result;
}

sub get {
    my ($self, $path, $headers, $body) = @_;
    return $self->request('GET', $path, $headers, $body);
}

sub post {
    my ($self, $path, $headers, $body) = @_;
    return $self->request('POST', $path, $headers, $body);
}

# From the loopback server: /metrics, /readyz, /livez.
sub get_internal {
    my ($self, $path) = @_;
    return $self->request_at($self->metrics_url, 'GET', $path);
}

# 'name{labels}' => value.
sub metrics {
    my ($self) = @_;
    my $answer = $self->get_internal('/metrics');
    croak "/metrics: $answer->{status}" if $answer->{status} != 200;
    return { $answer->{body} =~ /^([a-zA-Z_:][^ \n]*(?:\{[^\n]*\})?) ([^ \n]+)$/mg };
}

# What a metric comes to over all of its labels, or those that match; 0 where there is none.
sub metric_sum {
    my ($self, $name, $labels) = @_;
    my ($metrics, $sum) = ($self->metrics, 0);
    for my $sample (keys %$metrics) {
        next unless $sample =~ /^\Q$name\E(?:\{(.*)\})?$/ && (!$labels || ($1 // '') =~ $labels);
        $sum += $metrics->{$sample};
    }
    return $sum;
}

# Answers with a status of 500 and more.
sub server_errors { return $_[0]->metric_sum('battlepass_requests_total', qr/status="5/) }

# From the economy service. Its own calls for tests stand under /sandbox/ (economy-sandbox --help).
sub economy {
    my ($self, $method, $path, $body, $headers) = @_;
    return $self->request_at($self->economy_url, $method, $path, $headers, $body);
}

# What the economy service has to suffer from now on, in place of what was before:
# $s->faults({ fault => 'late', calls => 'debits', delay_ms => 1500, probability => 0.2, times => 3 }, ..).
sub faults {
    my ($self, @faults) = @_;
    my $answer = $self->economy(PUT => '/sandbox/faults', { faults => \@faults });
    croak "faults: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    return $answer->{json}{faults};
}

# One that is down is waited for.
sub clear_faults {
    my ($self) = @_;
    my ($port) = $self->economy_url =~ /:(\d+)$/;
    my $well = sub { return eval { $self->faults; 1 } && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) };
    $self->wait_until(20, $well) or croak 'the economy service does not come back';
    return;
}

# Bytes as they are, over one TCP connection; what came back until the peer closed or was silent for quiet_s.
sub raw {
    my ($self, $bytes, %options) = @_;
    my ($port) = ($options{base} // $self->url) =~ /:(\d+)$/;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or croak "connect: $@";
    local $SIG{PIPE} = 'IGNORE';
    $socket->print($bytes);
    $socket->flush;
    my $select = IO::Select->new($socket);
    my $answer = '';
    while ($select->can_read($options{quiet_s} // 1)) {
        $socket->sysread(my $piece, 65536) or last;
        $answer .= $piece;
    }
    return $answer;
}

# --- the servers behind ---

sub db {
    my ($self) = @_;
    return DBI->connect("DBI:MariaDB:database=battlepass;mariadb_socket=$self->{env}{MYSQL_SOCKET}", 'root', '',
        { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
}

# One command; the reply as a number, a string, undef or an array reference. An error reply is an exception.
sub redis {
    my ($self, @command) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $self->{env}{REDIS_SOCKET}) or croak "redis: $!";
    $socket->print(join '', '*' . @command . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @command);
    $socket->flush;
    return _redis_reply($socket);
}

sub _redis_reply {
    my ($socket) = @_;
    local $/ = "\r\n";
    my $line = <$socket> // croak 'redis: no reply';
    chomp $line;
    my ($type, $value) = (substr($line, 0, 1), substr $line, 1);
    croak "redis: $value" if $type eq '-';
    return $value if $type eq '+' || $type eq ':';
    return undef if $value < 0;
    return [ map { _redis_reply($socket) } 1 .. $value ] if $type eq '*';
    my $got = read $socket, my $text, $value + 2;
    croak 'redis: reply cut short' if $got != $value + 2;
    return substr $text, 0, $value;
}

# --- for tests of many at once ---

# Until the code says yes; its last answer.
sub wait_until {
    my ($self, $seconds, $code) = @_;
    my $deadline = time + $seconds;
    my $result;
    until ($result = $code->()) {
        last if time > $deadline;
        sleep 0.02;
    }
    return $result;
}

# Runs code->(number) in that many processes at once, started together; what each returned, in order.
sub in_parallel {
    my ($self, $processes, $code) = @_;
    my @pipes;
    pipe my $gate_in, my $gate_out or croak "pipe: $!";
    for my $number (0 .. $processes - 1) {
        my $pid = open(my $from_child, '-|') // croak "fork: $!";
        if ($pid == 0) {
            close $gate_out;
            sysread $gate_in, my $nothing, 1;
            my $result = eval { $json->encode([ $code->($number) ]) } // $json->encode({ died => "$@" });
            print STDOUT $result;
            STDOUT->flush;
            POSIX::_exit(0);
        }
        push @pipes, $from_child;
    }
    close $gate_in;
    close $gate_out;
    return map { _result_of($_) } @pipes;
}

sub _result_of {
    my ($pipe) = @_;
    local $/ = undef;
    my $result = $json->decode(<$pipe> || '{"died":"no result"}');
    close $pipe;
    croak $result->{died} if ref $result eq 'HASH';
    return @$result;
}



1;
